//! Classifiers as one: the mean of their probabilities (AlexNet's five networks, GoogLeNet's seven, VGG's two).

use super::builder::Parts;
use crate::data::{
    Dataset, ImageFiles, Loader, LoaderConfig, ModelInput, Pictures, Preprocess, Skipped, Statistics,
    TestSet, imagenet,
};
use crate::evaluate::Views;
use crate::evaluate::{
    self, Accuracy, Evaluator, Member, Outcome, Protocol, ReadPictures, Scores, Source, probabilities,
};
use crate::weights::Parent;
use crate::{Remedy, Usage};
use anyhow::{Context, Error, Result, bail, ensure};
use serde::Serialize;
use std::ops::ControlFlow;
use tch::{Kind, Tensor};

/// Classifiers whose probabilities are averaged, each over the same views of a picture; one alone answers for itself.
pub struct Ensemble<'a> {
    members: Vec<&'a Parts>,
    /// Of each member, its output for each class of the first; `None` where they are the same.
    outputs: Vec<Option<Vec<i64>>>,
}

/// A class of a picture, and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likely {
    pub class: usize,
    pub label: Option<String>,
    pub probability: f64,
}

/// What an evaluation found.
pub struct Evaluated {
    /// The name of the data.
    pub data: String,
    /// The names of the classes that a picture may be taken for.
    pub classes: Vec<String>,
    /// Those of them that the data has.
    pub present: Vec<usize>,
    pub accuracy: Accuracy,
    /// Whether only those that the data has are answers.
    pub is_masked: bool,
    /// Pictures that could not be read.
    pub skipped: usize,
}

/// Classes that a message names.
const SHOWN_CLASSES: usize = 10;

/// For fewer views weights stay as they are.
const WORTH_FREEZING: usize = 4;

impl<'a> Ensemble<'a> {
    pub(super) fn of(members: Vec<&'a Parts>) -> Result<Self> {
        let first = *members.first().context("an ensemble without members")?;
        let outputs = members.iter().map(|member| outputs(member, first)).collect::<Result<_>>()?;
        Ok(Self { members, outputs })
    }

    /// How many members there are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The members' models; one name where they are of one.
    pub fn name(&self) -> String {
        let mut names: Vec<&str> = self.members.iter().map(|member| member.name).collect();
        names.dedup();
        names.join(" + ")
    }

    /// [`super::Classifier::identity`] of every member.
    ///
    /// # Errors
    /// As there.
    pub fn identities(&self) -> Result<Vec<String>> {
        self.members.iter().map(|member| member.identity()).collect()
    }

    /// Outputs of each member.
    pub fn classes(&self) -> usize {
        self.members[0].classes
    }

    /// The `topk` likeliest classes of pictures by the views of a protocol, about `batch_size` of which go through the
    /// network at once. `each` hears, in the order of the pictures, the place of one and its classes, the likeliest first;
    /// `skipped` hears of those that cannot be read.
    ///
    /// # Errors
    /// A model that does not take its input, or cannot be tested by the protocol ([`Usage`]), and those of `each`.
    pub fn classify(
        &self,
        pictures: &dyn ReadPictures,
        protocol: &Protocol,
        topk: usize,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(usize, Vec<Likely>) -> Result<()>,
    ) -> Result<()> {
        self.ready_for(pictures.count() * protocol.count());
        let inputs: Vec<ModelInput> =
            self.members.iter().map(|member| viewed(&member.input, protocol)).collect();
        let (ensemble, ways) = self.together(&inputs, protocol)?;
        let label = |place: usize| place as i64;
        let source = Views { pictures, label: &label, ways: &ways, protocol, batch_size };
        let labels = self.members[0].labels.as_ref();
        ensemble.run(&source, skipped, &mut |batch, scores, kind| {
            let probabilities = match kind {
                Scores::Logits => probabilities(&scores)?,
                Scores::Probabilities => scores,
            };
            let tops = likeliest(&probabilities, topk, labels.map(Vec::as_slice))?;
            batch.places.iter().zip(tops).try_for_each(|(&place, top)| each(place, top))?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The accuracy on labelled pictures, about `batch_size` views of which go through the network at once; `each` hears the
    /// place of one and what the model makes of it, `skipped` of those that cannot be read.
    ///
    /// # Errors
    /// Data whose classes are not the outputs, a model that cannot be tested by the protocol ([`Usage`]), and those of
    /// `each`.
    pub fn evaluate(
        &self,
        data: TestSet,
        protocol: &Protocol,
        batch_size: usize,
        skipped: &mut dyn FnMut(Skipped),
        each: &mut dyn FnMut(usize, &Outcome) -> Result<()>,
    ) -> Result<Evaluated> {
        let first = self.members[0];
        let mut count = 0;
        let mut skipped = |picture| {
            count += 1;
            skipped(picture);
        };
        let data = match data {
            TestSet::Files(files) => TestSet::Files(first.among_outputs(files)?),
            TestSet::Images(data, statistics) => TestSet::Images(first.by_names(data)?, statistics),
        };
        self.ready_for(data.names().len() * protocol.count());
        let input = |member: &&Parts| -> Result<ModelInput> {
            Ok(match &data {
                TestSet::Files(_) => viewed(&member.input, protocol),
                TestSet::Images(data, statistics) => viewed(&member.input_of(data, statistics)?, protocol),
            })
        };
        let inputs = self.members.iter().map(input).collect::<Result<Vec<_>>>()?;
        let (ensemble, ways) = self.together(&inputs, protocol)?;
        let (name, classes, has, labels) = match &data {
            TestSet::Files(files) => (&files.name, &files.classes, files.label_counts(), &files.labels),
            TestSet::Images(data, _) => (&data.name, &data.classes, data.label_counts(), &data.labels),
        };
        let (name, classes, labels) = (name.clone(), classes.clone(), labels.clone());
        let present: Vec<usize> =
            (0..).zip(has).filter(|(_, count)| *count > 0).map(|(class, _)| class).collect();
        let mut answers = Answers::default();
        if let TestSet::Files(files) = &data {
            answers.several = files.several_labels().map(<[_]>::to_vec);
            answers.among = files.is_masked.then(|| present.iter().map(|&class| class as i64).collect());
        }
        let is_masked = answers.among.is_some();
        let label = |place: usize| labels[place];
        let views = |pictures| Views { pictures, label: &label, ways: &ways, protocol, batch_size };
        let mut measure =
            |source: &dyn Source| measured(&ensemble, source, classes.len(), &answers, &mut skipped, each);
        let accuracy = match data {
            TestSet::Images(data, _) if protocol.is_center() => {
                let pinned = first.device.is_cuda();
                let config = LoaderConfig { pinned, ..LoaderConfig::in_order(batch_size) };
                measure(&Loader::new(Pictures::Memory(data), config)?)?
            }
            TestSet::Images(data, _) => measure(&views(&data))?,
            TestSet::Files(files) => measure(&views(&files))?,
        };
        Ok(Evaluated { data: name, classes, present, accuracy, is_masked, skipped: count })
    }

    /// The members as they are tested, and the ways from pictures to their views, each once.
    fn together<'b>(
        &'b self,
        inputs: &'b [ModelInput],
        protocol: &Protocol,
    ) -> Result<(evaluate::Ensemble<'b>, Vec<Preprocess>)> {
        let (mut members, mut ways) = (Vec::new(), Vec::new());
        for ((member, input), outputs) in self.members.iter().zip(inputs).zip(&self.outputs) {
            let way = ways.iter().position(|way| *way == input.preprocess).unwrap_or_else(|| {
                ways.push(input.preprocess.clone());
                ways.len() - 1
            });
            let evaluator = member.evaluator(input).viewing(protocol);
            let evaluator = evaluator.map_err(|error| Usage(format!("{}: {error:#}", member.name)))?;
            members.push(Member { evaluator, way, outputs: outputs.clone() });
        }
        Ok((evaluate::Ensemble(members), ways))
    }

    fn ready_for(&self, views: usize) {
        self.members.iter().for_each(|member| member.ready_for(views));
    }
}

/// The likeliest classes of each row of `probabilities` (N, classes), at most `topk`.
pub(super) fn likeliest(
    probabilities: &Tensor,
    topk: usize,
    labels: Option<&[String]>,
) -> Result<Vec<Vec<Likely>>> {
    let topk = topk.clamp(1, probabilities.size2()?.1.max(1) as usize);
    let (likely, best) = probabilities.f_topk(topk as i64, 1, true, true)?;
    let likely = Vec::<f64>::try_from(likely.f_to_kind(Kind::Double)?.f_reshape(-1)?)?;
    let best = Vec::<i64>::try_from(best.f_reshape(-1)?)?;
    let of = |(&probability, &class): (&f64, &i64)| {
        let class = class as usize;
        Likely { class, label: labels.and_then(|labels| labels.get(class).cloned()), probability }
    };
    let rows = likely.chunks(topk).zip(best.chunks(topk));
    Ok(rows.map(|(likely, best)| likely.iter().zip(best).map(of).collect()).collect())
}

/// The input of the views of a protocol.
fn viewed(input: &ModelInput, protocol: &Protocol) -> ModelInput {
    if protocol.is_center() { input.clone() } else { input.of_pictures() }
}

/// The outputs of a member for the classes of the first, by their names where both have such.
fn outputs(member: &Parts, first: &Parts) -> Result<Option<Vec<i64>>> {
    let differ =
        |what: String| Usage(format!("{} and {} are no ensemble: {what}", first.source, member.source));
    let counts = format!("{} and {} classes", first.classes, member.classes);
    ensure!(member.classes == first.classes, differ(counts));
    let (Some(names), Some(own)) = (&first.labels, &member.labels) else { return Ok(None) };
    if names == own {
        return Ok(None);
    }
    let output = |name: &String| own.iter().position(|own| own == name).map(|output| output as i64);
    let strange = names.iter().find(|name| output(name).is_none());
    if let Some(name) = strange {
        bail!(differ(format!("class `{name}` is of the first alone")));
    }
    Ok(Some(names.iter().filter_map(output).collect()))
}

impl Parts {
    /// [`super::Classifier::identity`].
    pub fn identity(&self) -> Result<String> {
        Ok(self.identity_by(self.sha256()?.as_deref()))
    }

    /// The same with the checksum of the file, where there is one.
    pub(super) fn identity_by(&self, sha256: Option<&str>) -> String {
        match sha256 {
            Some(sha256) => format!("{}, sha256 {sha256:.12}", self.source),
            None => self.source.clone(),
        }
    }

    /// Of the file of weights that are not public.
    pub(super) fn sha256(&self) -> Result<Option<String>> {
        let file = self.file.as_ref().filter(|file| file.is_file());
        file.map(|file| Ok(Parent::of(file)?.sha256)).transpose()
    }

    /// Makes the model ready for so many views: weights are folded and packed where that takes less time than it saves,
    /// and where they are to be of another dtype.
    pub(super) fn ready_for(&self, views: usize) {
        if let Some(dtype) = self.frozen
            && (views >= WORTH_FREEZING || dtype != Kind::Float)
            && self.store.frozen() != Some(dtype)
        {
            self.store.freeze(dtype);
        }
    }

    /// The model as it is tested, with what makes its input.
    pub(super) fn evaluator<'a>(&'a self, input: &'a ModelInput) -> Evaluator<'a> {
        let evaluator = Evaluator::new(self.model.as_ref(), self.device, input);
        if self.frozen.is_none() { evaluator.autocast(Kind::BFloat16) } else { evaluator }
    }

    /// The input of images of a data set. It is that of a run that trained on such; of other weights each image as it is,
    /// by the statistics of the data set.
    pub(super) fn input_of(&self, data: &Dataset, statistics: &Statistics) -> Result<ModelInput> {
        let images = [data.images.channels, data.images.height, data.images.width].map(|n| n as i64);
        if self.about.is_some() && self.input.size.is_some() {
            return Ok(self.input.clone());
        }
        let input = ModelInput::of_images(images, statistics.clone(), [images[1], images[2]]);
        self.settings.apply(input)
    }

    /// The pictures with their labels as outputs of the model: by the names of the classes where these are known, so that
    /// pictures of some of them will do.
    fn among_outputs(&self, files: ImageFiles) -> Result<ImageFiles> {
        if let Some(classes) = self.class_names() {
            let strange = files.classes.iter().find(|class| !classes.contains(class)).cloned();
            let strange = || strange_class(&files.name, &strange.unwrap_or_default(), classes);
            return files.relabelled(classes.to_vec()).ok_or_else(|| strange().into());
        }
        let known = imagenet().iter().find(|known| known.classes as usize == self.classes);
        let some = known.filter(|_| files.classes.len() < self.classes);
        if let Some(named) = some.and_then(|known| files.relabelled(known.synsets())) {
            return Ok(named);
        }
        self.fits(files.classes.len(), &files.name)?;
        Ok(files)
    }

    /// As [`Self::among_outputs`], of images in memory.
    fn by_names(&self, data: Dataset) -> Result<Dataset> {
        let Some(classes) = self.class_names() else {
            self.fits(data.classes.len(), &data.name)?;
            return Ok(data);
        };
        let name = data.name.clone();
        data.relabelled(classes).map_err(|class| strange_class(&name, &class, classes).into())
    }

    /// The names of the outputs as a run here has them, unless the model has others now.
    fn class_names(&self) -> Option<&[String]> {
        let names = self.about.as_ref().map(|about| about.classes.as_slice());
        names.filter(|names| names.len() == self.classes)
    }

    /// The model's outputs must be the data's classes.
    fn fits(&self, classes: usize, data: &str) -> Result<()> {
        if self.classes == classes {
            return Ok(());
        }
        let text = format!("{data} has {classes} classes, {} has {} outputs", self.name, self.classes);
        Err(Error::new(Remedy::Classes(Some(classes))).context(text))
    }
}

/// What counts as an answer, and as a right one, where not all classes do, or several at once.
#[derive(Default)]
struct Answers {
    /// The classes that a picture may be taken for, in ascending order; `None` for all.
    among: Option<Vec<i64>>,
    /// All right classes of each picture.
    several: Option<Vec<Box<[i64]>>>,
}

impl Answers {
    /// Of several right classes of a picture the likeliest is its label: it comes first, or among the first five, if one of
    /// them does.
    fn label(&self, scores: &Tensor, places: &[usize], labels: &mut [i64]) -> Result<()> {
        let Some(several) = &self.several else { return Ok(()) };
        for ((row, place), label) in (0..).zip(places).zip(labels) {
            let right = &several[*place];
            if right.len() > 1 {
                let own = Tensor::f_from_slice(right)?.f_to_device(scores.device())?;
                let best = scores.f_get(row)?.f_index_select(0, &own)?.f_argmax(0, false)?;
                *label = right[usize::try_from(best.f_int64_value(&[])?)?];
            } else if let [only] = right[..] {
                *label = only;
            }
        }
        Ok(())
    }

    /// As [`Accuracy::outcomes`], as if the model had no other outputs than those among which it answers.
    fn outcomes(&self, scores: &Tensor, kind: Scores, labels: &[i64]) -> Result<Vec<Outcome>> {
        let Some(among) = &self.among else { return Accuracy::outcomes(scores, kind, labels) };
        let index = Tensor::f_from_slice(among)?.f_to_device(scores.device())?;
        let mut scores = scores.f_index_select(1, &index)?;
        if kind == Scores::Probabilities {
            scores = scores.f_div(&scores.f_sum_dim_intlist(&[1i64][..], true, Kind::Float)?)?;
        }
        let place = |label: &i64| among.binary_search(label).map(|place| place as i64);
        let labels: Vec<i64> = labels.iter().filter_map(|label| place(label).ok()).collect();
        let mut outcomes = Accuracy::outcomes(&scores, kind, &labels)?;
        for Outcome { label, predicted, .. } in &mut outcomes {
            (*label, *predicted) = (among[*label] as usize, among[*predicted] as usize);
        }
        Ok(outcomes)
    }
}

/// The accuracy on all of a source.
fn measured(
    ensemble: &evaluate::Ensemble,
    source: &dyn Source,
    classes: usize,
    answers: &Answers,
    skipped: &mut dyn FnMut(Skipped),
    each: &mut dyn FnMut(usize, &Outcome) -> Result<()>,
) -> Result<Accuracy> {
    let mut accuracy = Accuracy::new(classes);
    ensemble.run(source, skipped, &mut |batch, scores, kind| {
        let mut labels = Vec::<i64>::try_from(&batch.labels)?;
        answers.label(&scores, &batch.places, &mut labels)?;
        let outcomes = answers.outcomes(&scores, kind, &labels)?;
        for (&place, outcome) in batch.places.iter().zip(&outcomes) {
            accuracy.count(outcome)?;
            each(place, outcome)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(accuracy)
}

/// For a class of some data that the model does not know.
fn strange_class(data: &str, class: &str, classes: &[String]) -> Usage {
    let more = if classes.len() > SHOWN_CLASSES { ", …" } else { "" };
    let shown = classes[..classes.len().min(SHOWN_CLASSES)].join(", ");
    Usage(format!("{data}: `{class}` is none of the model's classes: {shown}{more}"))
}

#[cfg(test)]
mod tests {
    use super::Answers;
    use crate::evaluate::{Accuracy, Scores};
    use tch::{Kind, Tensor};

    const CLASSES: usize = 12;

    /// Scores of 40 pictures without order.
    fn scores() -> (Tensor, Vec<Vec<f32>>) {
        let score = |row: u32, class: u32| (row * 131 + class * class * 7919 + row * class * 31) % 997;
        let row = |row| (0..CLASSES as u32).map(|class| score(row, class) as f32 / 99.0).collect();
        let rows: Vec<Vec<f32>> = (0..40).map(row).collect();
        (Tensor::from_slice(&rows.concat()).view([40, CLASSES as i64]), rows)
    }

    /// The classes of a row, the likeliest first.
    fn order(row: &[f32]) -> Vec<i64> {
        let mut order: Vec<i64> = (0..row.len() as i64).collect();
        order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
        order
    }

    /// As timm's `RealLabelsImagenet`: right if any of the first k is among the labels.
    #[test]
    fn any_of_several_right_labels_counts() {
        let (scores, rows) = scores();
        let several: Vec<Box<[i64]>> =
            (0..40i64).map(|i| (0..=i % 4).map(|k| (i * 5 + k * 3) % 12).collect()).collect();
        let answers = Answers { among: None, several: Some(several.clone()) };
        let mut labels = vec![0; 40];
        answers.label(&scores, &(0..40).collect::<Vec<_>>(), &mut labels).unwrap();
        let outcomes = answers.outcomes(&scores, Scores::Logits, &labels).unwrap();
        for ((outcome, row), right) in outcomes.iter().zip(&rows).zip(&several) {
            let among = |k: usize| order(row)[..k].iter().any(|class| right.contains(class));
            assert_eq!((outcome.predicted == outcome.label, outcome.in_top5), (among(1), among(5)));
        }
        assert!(
            outcomes.iter().any(|outcome| outcome.in_top5) && outcomes.iter().any(|outcome| !outcome.in_top5)
        );
    }

    /// As timm's `--valid-labels`: the other outputs are cut off before anything is made of them.
    #[test]
    fn a_mask_is_a_model_without_the_other_outputs() {
        let (scores, rows) = scores();
        let among = vec![1i64, 2, 5, 6, 8, 10, 11];
        let labels: Vec<i64> = (0..40).map(|i| among[i % 7]).collect();
        let answers = Answers { among: Some(among.clone()), several: None };
        let outcomes = answers.outcomes(&scores, Scores::Logits, &labels).unwrap();
        for ((outcome, row), label) in outcomes.iter().zip(&rows).zip(&labels) {
            let left: Vec<i64> = order(row).into_iter().filter(|class| among.contains(class)).collect();
            assert_eq!((outcome.predicted as i64, outcome.label as i64), (left[0], *label));
            assert_eq!(outcome.in_top5, left[..5].contains(label));
            let sum: f64 = among.iter().map(|&class| f64::from(row[class as usize]).exp()).sum();
            assert!((outcome.label_probability - f64::from(row[*label as usize]).exp() / sum).abs() < 1e-6);
        }
        // Of probabilities, as of several views, the same.
        let shares = scores.softmax(1, Kind::Float);
        for (a, b) in outcomes.iter().zip(answers.outcomes(&shares, Scores::Probabilities, &labels).unwrap())
        {
            assert!(a.predicted == b.predicted && (a.loss - b.loss).abs() < 1e-4, "{a:?} {b:?}");
        }
        assert_ne!(outcomes, Accuracy::outcomes(&scores, Scores::Logits, &labels).unwrap());
    }
}
